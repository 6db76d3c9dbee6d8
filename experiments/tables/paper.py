"""What the paper reports, in mm, on its own data: Human3.6M, and MMHuman (never released) for Table V.

The rows are those of its tables; the average is the mean over actions.
"""

METHODS = ("Hossain et al.", "Pavllo et al.", "Lin et al.", "Proposed")

ACTIONS = (
    *("Dir.", "Disc.", "Eat", "Greet", "Phone", "Photo", "Pose", "Purch."),
    *("Sit", "SitD.", "Smoke", "Wait", "WalkD.", "Walk", "WalkT.", "Avg."),
)

# Protocol 1 (PA-MPJPE), half of the joints hidden.
TABLE_II = {
    "Hossain et al.": (
        *(50.8, 60.3, 59.6, 60.1, 75.0, 67.9, 53.7, 59.8),
        *(71.1, 84.7, 62.5, 59.2, 68.1, 69.9, 72.0, 65.0),
    ),
    "Pavllo et al.": (
        *(46.3, 53.9, 49.3, 56.8, 48.2, 57.7, 51.2, 51.5),
        *(53.0, 63.6, 50.8, 45.5, 56.3, 57.0, 56.2, 53.2),
    ),
    "Lin et al.": (
        *(51.3, 52.5, 49.7, 55.0, 47.1, 64.9, 47.8, 50.2),
        *(53.1, 61.7, 51.0, 47.6, 60.1, 65.7, 62.1, 53.9),
    ),
    "Proposed": (
        *(42.9, 43.5, 41.5, 44.7, 41.9, 49.4, 42.0, 41.0),
        *(50.4, 59.8, 43.9, 41.3, 46.5, 35.1, 32.6, 43.8),
    ),
}

# Protocol 1 at 0, 25 and 50 % hidden joints.
TABLE_III = {
    "Hossain et al.": (44.1, 57.2, 65.0),
    "Pavllo et al.": (36.5, 40.3, 53.2),
    "Lin et al.": (36.8, 41.9, 53.9),
    "Proposed": (37.2, 39.2, 43.8),
}

# Protocol 2 (N-MPJPE on absolute joints), half of the joints hidden; Pavllo et al. with their trajectory
# network.
TABLE_IV = {
    "Pavllo et al.": (
        *(70.9, 92.3, 69.0, 107.9, 66.7, 98.1, 69.8, 73.8),
        *(68.1, 115.4, 69.7, 93.8, 89.8, 87.5, 77.9, 83.4),
    ),
    "Proposed": (
        *(53.5, 60.3, 59.9, 87.2, 66.7, 79.1, 59.1, 64.8),
        *(63.9, 99.7, 57.2, 73.1, 85.5, 107.5, 80.0, 73.2),
    ),
}

KINDS = ("ShakeH.", "WalkC.", "HighF.", "PullUp", "HandO.", "Kungfu", "Avg.")

# Networks trained on Human3.6M, judged on MMHuman without fine-tuning.
TABLE_V = {
    "Hossain et al.": (119.3, 119.1, 119.1, 120.2, 115.2, 119.3, 118.5),
    "Pavllo et al.": (87.7, 86.1, 82.8, 88.8, 79.1, 78.7, 84.2),
    "Lin et al.": (110.5, 116.3, 123.2, 116.3, 107.7, 118.4, 114.9),
    "Proposed": (83.7, 74.8, 78.6, 83.9, 75.1, 76.7, 78.3),
}

# Videos and frames of each kind; and how many frames all cameras have together.
TABLE_I = {"videos": (6, 6, 5, 3, 5, 2), "frames": (11_573, 11_379, 9_537, 5_809, 9_570, 3_883)}
