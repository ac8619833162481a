"""Groups: one group (`group`), its counters and pins (`state`), creation and joining (`groups`), values (`types`)."""
