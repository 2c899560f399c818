"""Floor 6: `qsr upscale`: files, folders and videos enlarged by a packed network; no torch anywhere in the process."""
