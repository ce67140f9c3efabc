"""Where images come from: data sets in the layouts in common use, the download, drawn digits,
your own image files.

All give uint8: images (n, 784), labels (n,).
"""
