"""The server: one process through which agents are reached over HTTP and WebSocket, all with the same events.

A turn runs in a thread (`runs`), what happens in it goes to all who look (`channel`), and every door (`rest`,
`openai_api`, `websocket`, the page) is only a way to start runs and to follow them. Knows nothing of the command line.
"""
