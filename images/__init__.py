"""Where images come from: IDX files, shards, the download, offline digits, a person's own.

What comes out of each room is uint8: images (n, 784), labels (n,).
"""
