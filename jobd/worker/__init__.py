"""The subprocess of one queue and the template it is forked from; the only room that imports user code."""
