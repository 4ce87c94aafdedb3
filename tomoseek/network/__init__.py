"""The network: encoder, pyramid and transformer, and where its weights come from."""
