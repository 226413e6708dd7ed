"""The Open Inference Protocol (KServe v2): backbones and promoted probes as models."""
