"""The frames of all threads of a core, as lldb's library sees them. usage: lldb_frames.py CORE PROGRAM

lldb itself waits for ever now and then when it has nothing to read commands from.
"""

import subprocess
import sys

sys.path.append(subprocess.run(["lldb", "-P"], capture_output=True, text=True, check=True).stdout.strip())
import lldb  # noqa: E402

debugger = lldb.SBDebugger.Create()
debugger.SetAsync(False)
process = debugger.CreateTarget(sys.argv[2]).LoadCore(sys.argv[1])
for thread in process:
    print(f"TID {thread.GetThreadID()}:")
    for frame in thread:
        print(f"#{frame.GetFrameID()} {frame.GetPC():#x} {frame.GetFunctionName()}")
