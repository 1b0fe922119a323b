"""A gRPC server that says again what it is told, and a client of it that checks.

    grpc_echo.py serve PORT
    grpc_echo.py ask PORT      talks on stdin and stdout: a line `N SIZE` asks for N messages of SIZE bytes, in each of the
                               four ways that gRPC has, all on one connection, and is answered by how many came back
"""

import concurrent.futures
import json
import sys

import grpc

SERVICE = "Echo"
# A call waits for a connection while there is none; this is for ever, to a test.
PATIENCE = 45


def serve(port):
    def one(request, _):
        return request

    def down(request, _):
        count, size = map(int, request.split())
        return (bytes([index % 251]) * size for index in range(count))

    def up(requests, _):
        count = total = 0
        for request in requests:
            count, total = count + 1, total + len(request)
        return b"%d %d" % (count, total)

    def both(requests, _):
        return requests

    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(one),
        "Down": grpc.unary_stream_rpc_method_handler(down),
        "Up": grpc.stream_unary_rpc_method_handler(up),
        "Both": grpc.stream_stream_rpc_method_handler(both),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    if server.add_insecure_port(f"127.0.0.1:{port}") != port:
        sys.exit("the port is taken")
    server.start()
    server.wait_for_termination()


def ask(port):
    how = {"timeout": PATIENCE, "wait_for_ready": True}
    # What services are told to do about a connection that is lost.
    again = {"maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2}
    again["retryableStatusCodes"] = ["UNAVAILABLE"]
    config = {"methodConfig": [{"name": [{"service": SERVICE}], "retryPolicy": again}]}
    # No proxy of whoever runs the tests.
    options = [("grpc.enable_http_proxy", 0), ("grpc.service_config", json.dumps(config))]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        for line in sys.stdin:
            count, size = map(int, line.split())
            messages = [bytes([index % 251]) * size for index in range(count)]
            one = channel.unary_unary(f"/{SERVICE}/One")
            right = sum(one(message, **how) == message for message in messages)
            down = list(channel.unary_stream(f"/{SERVICE}/Down")(b"%d %d" % (count, size), **how))
            assert down == messages, "what came down is not what was asked for"
            up = channel.stream_unary(f"/{SERVICE}/Up")(iter(messages), **how)
            assert up == b"%d %d" % (count, count * size), up
            both = list(channel.stream_stream(f"/{SERVICE}/Both")(iter(messages), **how))
            assert both == messages, "what came back is not what was sent"
            print(right + len(down) + count + len(both), flush=True)


{"serve": serve, "ask": ask}[sys.argv[1]](int(sys.argv[2]))
