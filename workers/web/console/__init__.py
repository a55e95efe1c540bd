"""The operator's console, ``/console/``: plain HTML, drawn on the server; live where a browser runs scripts."""
