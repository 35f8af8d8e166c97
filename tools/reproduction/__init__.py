"""Parts of `tools.reproduce`: cells, the processes that fill them, and the tables made of them."""
