"""Files in: motion capture, VideoPose3D's and Human3.6M's layouts, `.npz` archives."""
