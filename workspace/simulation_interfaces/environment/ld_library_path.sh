# colcon leaves an empty entry at the end, which would mean the current folder.
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH%:}"
