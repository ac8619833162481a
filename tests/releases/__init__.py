"""Other releases of timim than this one: one to come as a program, those that were as databases that they left behind."""
