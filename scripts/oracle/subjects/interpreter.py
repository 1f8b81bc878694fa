"""An interpreter with a second thread, each some calls deep."""

import sys
import threading
import time


def down(levels, last):
    return down(levels - 1, last) if levels else last()


threading.Thread(target=down, args=(5, threading.Event().wait), daemon=True).start()
time.sleep(0.2)
open(sys.argv[1], "w").close()
down(3, lambda: sorted([1], key=lambda _: time.sleep(86400)))
