"""What every answer goes through, one module a concern, from the outside in as `app` lists them.

Plain ASGI: a middleware in the framework's own style costs as much as a whole answer.
"""
