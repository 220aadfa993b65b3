"""The formats of input files. Each module finds columns, divides a file into shards, reads one."""
