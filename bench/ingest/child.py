"""FastMCP.from_openapi in a process of its own: python child.py FILE. Prints what child.mjs prints."""

import asyncio
import json
import logging
import resource
import sys

logging.disable(logging.CRITICAL)
tools, fault = 0, None
try:
    import httpx
    from fastmcp import FastMCP

    with open(sys.argv[1]) as file:
        document = json.load(file)
    server = FastMCP.from_openapi(
        openapi_spec=document, client=httpx.AsyncClient(base_url="https://api.example")
    )
    listed = asyncio.run(server.get_tools() if hasattr(server, "get_tools") else server.list_tools())
    tools = len(listed)
except Exception as error:  # what a peer throws is a result
    fault = f"{type(error).__name__}: {error}".split("\n")[0][:80]
usage = resource.getrusage(resource.RUSAGE_SELF)
cpu = usage.ru_utime + usage.ru_stime
print(json.dumps({"tools": tools, "cpu": cpu, "rss": usage.ru_maxrss / 1024, "fault": fault}))
