"""Every error code in use, with the text that an exception shows when it is raised without one of its own.

The thousands are the areas: 1 general and communication, 2 simulator data, 3 command line (30xx the user's doing,
31xx the command's own, 32xx a service's), 4 learning toolkit. A code belongs to one concrete class.
"""

from __future__ import annotations

ERROR_CODE: dict[int, str] = {
    # 1000 - 1999: general and communication
    1000: "An error inside maro.",
    1001: "Redis can't be reached; check that it runs, its address, and its password.",
    1002: "No such peers: name the component types (or an existing component) that this component talks to.",
    1003: "Not every expected peer has registered in time; check that they were started with the same group name.",
    1004: "A peer can't be connected; check the address that it advertises.",
    1005: "The driver could not send the message.",
    1006: "The driver could not receive a message.",
    1007: "Unknown session type, or a session stage that belongs to another type.",
    1008: "A conditional event is malformed; write 'source:tag:amount', or a tuple of events that ends with AND or OR.",
    1009: "Unknown driver type; use a member of DriverType or a subclass of AbsDriver.",
    1010: "Unknown socket type.",
    1011: "A peer can't be disconnected; it was not connected.",
    1012: "The peer is away for the moment; send again once it has rejoined.",
    1013: "Too few peers are alive, and no others joined within the allowed time.",
    1014: "This component's name has used up its restarts; raise max_rejoin_times, or find out why it keeps failing.",
    1015: "A newer process has taken over this component's name; this one must end.",
    1016: "The proxy is closed; create a new one.",
    1017: "Two threads used one proxy or driver at the same time; give each thread its own, or take turns.",
    # 2000 - 2999: simulator data
    2000: "The meta file has no timestamp column; one is required.",
    2001: "A parking duration in the topology is below zero.",
    2100: "An item can't be read; check the indices of node and attribute.",
    2101: "An item can't be set; check the indices of node and attribute, and the value.",
    2102: "The attribute has more than one slot; read it with the slice interface.",
    2103: "Only a list attribute can be appended to.",
    2104: "Only a list attribute can be resized.",
    2105: "Only a list attribute can be cleared.",
    2106: "Only a list attribute can be inserted into.",
    2107: "Only a list attribute can have items removed.",
    2108: "The node has been deleted.",
    2109: "No such node type.",
    2110: "No such attribute type.",
    2200: "No business engine was found for the scenario.",
    # 3000 - 3099: the user of the command line
    3000: "The command failed.",
    3001: "The request is not valid.",
    3002: "The deployment template is not valid.",
    3003: "The deployment failed.",
    3004: "A file or folder could not be read or written.",
    3005: "Running local processes failed.",
    3006: "No such command.",
    3007: "A command could not be carried out.",
    # 3100 - 3199: the command itself
    3100: "An error inside the maro command.",
    # 3200 - 3299: services behind the command
    3200: "An error inside the cluster.",
    3201: "A subprocess failed.",
    # 4000 - 4999: learning toolkit
    4000: "The lists of a store would come to differ in length.",
    4001: "The model can't take a step without an optimizer.",
    4002: "The algorithm does not know a task of the model.",
}


def describe(error_code: int) -> str:
    """The text for a code; for one that is not in the table, a text that says so."""
    return ERROR_CODE.get(error_code, f"Unknown error (code {error_code}).")
