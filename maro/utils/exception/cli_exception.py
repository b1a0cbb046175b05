"""What can go wrong in the `maro` command: 30xx is the user's doing, 31xx the command's own, 32xx a service's."""

from __future__ import annotations

from maro.utils.exception.base_exception import MAROException


class CliError(MAROException):
    """Any failure of the command; its parameters come in the other order than those of its base."""

    def __init__(self, message: str | None = None, error_code: int = 3000) -> None:
        super().__init__(error_code, message)

    def get_message(self) -> str:
        """What to show to the user."""
        return self.strerror


class UserFault(CliError):
    """The user can put it right (30xx)."""

    def __init__(self, message: str | None = None, error_code: int = 3000) -> None:
        super().__init__(message, error_code)


class ClientError(CliError):
    """The command itself is at fault (31xx)."""

    def __init__(self, message: str | None = None, error_code: int = 3000) -> None:
        super().__init__(message, error_code)


class ServiceError(CliError):
    """Something that the command relies on is at fault (32xx)."""

    def __init__(self, message: str | None = None, error_code: int = 3000) -> None:
        super().__init__(message, error_code)


class BadRequestError(UserFault):
    """The request makes no sense as it was given."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, 3001)


class InvalidDeploymentTemplateError(UserFault):
    """A deployment template does not pass its validation."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, 3002)


class DeploymentError(UserFault):
    """A deployment was not completed; what was deployed before is still in place."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, 3003)


class FileOperationError(UserFault):
    """A file or a folder could not be read, written, or created."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, 3004)


class ProcessInternalError(UserFault):
    """Running components as local processes failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, 3005)


class CommandNotFoundError(UserFault):
    """No command of that name.

    Args:
        message: what was not found.
        usage: the usage text to show beside it.
    """

    def __init__(self, message: str | None = None, usage: str = "") -> None:
        super().__init__(message, 3006)
        self.usage = usage


class CommandError(CliError):
    """A command could not be carried out.

    Args:
        cli_command: the command as the user gave it.
        message: why it failed.
    """

    def __init__(self, cli_command: str, message: str | None = None) -> None:
        super().__init__(message, 3007)
        self.cli_command = cli_command

    def __str__(self) -> str:
        return f"{self.cli_command}: {self.strerror}"


class CliInternalError(ClientError):
    """A state that the command should not have come into."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, 3100)


class ClusterInternalError(ServiceError):
    """A cluster is in a state that it should not have come into."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, 3200)


class CommandExecutionError(ServiceError):
    """A subprocess failed.

    Args:
        message: how it failed.
        command: the command line that was run.
    """

    def __init__(self, message: str | None = None, command: str | None = None) -> None:
        super().__init__(message, 3201)
        self.command = command

    def get_message(self) -> str:
        """The command line and how it failed; without a command line only the latter."""
        return self.strerror if self.command is None else f"{self.command}: {self.strerror}"

    def __str__(self) -> str:
        return self.get_message()
