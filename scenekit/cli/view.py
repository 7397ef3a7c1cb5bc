"""``scenekit view RUN...``: scenes in the browser."""
