"""Convert as the command does, with the overrides given, and print the most memory that was ever resident, in bytes."""

import re
import sys
from pathlib import Path

from magic_megatron import convert
from recipes.command import compose

convert.main(compose("convert", sys.argv[1:]))
status = Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024)
