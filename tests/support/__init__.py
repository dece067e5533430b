"""What the integration tests stand on: a private machine, a scripted server, readers of formats."""
