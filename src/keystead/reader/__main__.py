"""The program: ``python -m keystead.reader DATA FD``, started by the control process and by nobody else.

DATA is there for whoever looks at the list of processes; all that counts comes over the socket FD.
"""

import os
import sys

from keystead.reader.process import main

code = main(int(sys.argv[-1]))
sys.stderr.flush()
# Not by way of the interpreter's end, which would wait for a question that nobody asks any more.
os._exit(code)
