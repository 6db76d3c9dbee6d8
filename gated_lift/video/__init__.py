"""From everybody's keypoints of one video to everybody in 3D: pieces of long videos, who hides whom, size."""
