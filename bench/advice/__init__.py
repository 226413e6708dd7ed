"""What a tenant is told of transfer, held against what comes true."""
