"""The suite that needs torch: runs where the extra `export` is installed (`make test-export`)."""

import os

# timm and torchvision look for weights nowhere but here, where there are none.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
