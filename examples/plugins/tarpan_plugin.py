"""What plugins for Tarpan in Python share: the messages of the protocol, and a server for its services.

It needs Debian's python3-grpcio, python3-protobuf and protobuf-compiler, and plugin.proto beside itself.
"""

import asyncio
import os
import pathlib
import signal
import subprocess
import sys

import grpc

STATE = pathlib.Path(os.environ["TARPAN_PLUGIN_STATE"])
SOCKET = os.environ["TARPAN_PLUGIN_SOCKET"]


def compiled():
    """The messages of plugin.proto as a module, compiled anew at each start."""
    beside = pathlib.Path(__file__).resolve().parent
    subprocess.run(["protoc", f"--proto_path={beside}", f"--python_out={STATE}", "plugin.proto"], check=True)
    sys.path.insert(0, str(STATE))
    return __import__("plugin_pb2")


pb = compiled()


class Refused(Exception):
    """Becomes a status; the text is what people see."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def handlers(name, service):
    """What gRPC calls for a service of plugin.proto: each method by its name, with its messages."""

    def answering(method):
        async def answer(request, context):
            try:
                return await method(request, context)
            except Refused as refused:
                await context.abort(refused.code, str(refused))

        return answer

    def streaming(method):
        async def answer(requests, context):
            try:
                async for message in method(requests, context):
                    yield message
            except Refused as refused:
                await context.abort(refused.code, str(refused))
            except FileNotFoundError as missing:
                await context.abort(grpc.StatusCode.NOT_FOUND, str(missing))

        return answer

    methods = {}
    for described in pb.DESCRIPTOR.services_by_name[name].methods:
        read = getattr(pb, described.input_type.name).FromString
        write = getattr(pb, described.output_type.name).SerializeToString
        method = getattr(service, described.name, None)
        if method is None:  # gRPC answers UNIMPLEMENTED.
            continue
        if described.name == "Exec":
            methods["Exec"] = grpc.stream_stream_rpc_method_handler(streaming(method), read, write)
        else:
            methods[described.name] = grpc.unary_unary_rpc_method_handler(answering(method), read, write)
    return grpc.method_handlers_generic_handler(f"tarpan.plugin.v1.{name}", methods)


def serve(**services):
    """Answers for these services until SIGTERM: `serve(Plugin=…, Driver=…)`."""

    async def main():
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([handlers(name, service) for name, service in services.items()])
        server.add_insecure_port("unix:" + SOCKET)
        await server.start()
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        await over.wait()
        await server.stop(0)

    asyncio.run(main())
