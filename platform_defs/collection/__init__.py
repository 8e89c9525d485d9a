"""Collection: how events get from a product's process to sealed segments in landing (SDK, receiver, log, sealer, failed events)."""
