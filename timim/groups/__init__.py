"""Groups: one group (`group`), its counters and pins (`state`), topics (`topics`), creation (`groups`), values (`types`)."""
