"""Running the hub under uvicorn: the listening socket, the server and its way of stopping."""
