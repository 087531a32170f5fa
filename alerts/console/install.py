"""The console in the application."""

from __future__ import annotations

from fastapi import FastAPI

from alerts.console import acts, assets, documents, now, receivers, sign, subjects, system


def install(app: FastAPI) -> None:
    """Serve the console; its pages are no part of the API's description."""
    for router in (now.front, now.router, sign.router, acts.router, subjects.router, documents.router, receivers.router, system.router, assets.router):
        app.include_router(router)
