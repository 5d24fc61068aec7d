"""LoRA adapters in the form of the library peft: written from packages, and read for ``patchmgr import``."""
