"""The figures that a run draws, and the page that shows the network at work."""
