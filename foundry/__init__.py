"""One command, `foundry`, for all that this project does from the command line."""
