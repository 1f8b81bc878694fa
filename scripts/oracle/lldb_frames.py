"""The frames of all threads of a core, as lldb's library sees them. usage: lldb_frames.py CORE PROGRAM [ROOT]

With a root file system, libraries come from there, and registers of the topmost frames are told too. lldb itself waits for ever now and then when it has nothing to read commands from.
"""

import os
import subprocess
import sys

sys.path.append(subprocess.run(["lldb", "-P"], capture_output=True, text=True, check=True).stdout.strip())
import lldb  # noqa: E402

core, program, *root = sys.argv[1:]
debugger = lldb.SBDebugger.Create()
debugger.SetAsync(False)
if root:
    folders = sorted({folder for folder, _, files in os.walk(root[0]) if any(".so" in name for name in files)})
    said = lldb.SBCommandReturnObject()
    debugger.GetCommandInterpreter().HandleCommand(f"settings set target.exec-search-paths {' '.join(folders)}", said)
process = debugger.CreateTarget(program).LoadCore(core)
for thread in process:
    print(f"TID {thread.GetThreadID()}:")
    for frame in thread:
        print(f"#{frame.GetFrameID()} {frame.GetPC():#x} {frame.GetFunctionName()}")
    for group in thread.GetFrameAtIndex(0).GetRegisters() if root else ():
        for register in group:
            data = register.GetData()
            value = register.GetValue() or " ".join(f"{byte:02x}" for byte in data.uint8[:data.GetByteSize()])
            print(f"= {register.GetName()} {value}")
