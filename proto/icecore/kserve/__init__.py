"""The Open Inference Protocol (KServe v2): descriptors and messages in a pool of our own."""
