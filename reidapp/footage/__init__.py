"""Footage in: files → frames → detections → tracklets → best shots."""
