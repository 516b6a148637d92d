"""What runs in a student's kernel: whose answer it is, checks, progress, menus."""
