"""Could somebody else have written this? A manifest says what runs, so who writes it runs commands as its user.

The rule is that of sudoers(5) and of ssh's StrictModes, for the file and the folders it stands in: the owner is the
user or root, and nobody else may write. Folders further up are not looked at: who moves one of them can only put
another there, with files of his own.
"""

import grp
import os
import pwd
import stat
from pathlib import Path

from cmdtool.errors import CmdtoolError


def check_trust(path: Path, opened: os.stat_result, danger: str = "choose what runs") -> None:
    """Refuse a file that others than the user and root can change or replace.

    Args:
        path: where it was found; its folder, and that of a link's target, are looked at.
        opened: the status of the open file: it cannot become another one between the check and the reading.
        danger: what others could do if they can write it.

    Raises:
        CmdtoolError: with what is wrong, and how to mend it.
    """
    _check(path, opened, danger)
    for folder in dict.fromkeys((path.absolute().parent, path.resolve().parent)):
        _check(folder, folder.stat(), danger)


def who_else_writes(status: os.stat_result) -> str | None:
    """Return who but the user and root may write, in words, or None.

    A group that has no other member than the user is the user. In a folder with the sticky bit (`/tmp`) others may
    make files, but not replace those of the user.
    """
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to {_user_name(status.st_uid)}"
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return None
    if status.st_mode & stat.S_IWOTH:
        return "everybody can write it"
    if status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid):
        return f"the group {_group_name(status.st_gid)} can write it"
    return None


def _check(path: Path, status: os.stat_result, danger: str) -> None:
    if who := who_else_writes(status):
        what = "folder" if stat.S_ISDIR(status.st_mode) else "file"
        is_ours = status.st_uid in (0, os.geteuid())
        mend = f"`chmod go-w {path}`" if is_ours else f"make the {what} yours"
        raise CmdtoolError(f"{path}: {who}, so others could {danger}\nhint: {mend}, or give `--trust` if that is meant")


def _is_private(gid: int) -> bool:
    """Say whether the group is the user's own, as where each user has a group of the same name (umask 002)."""
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _user_name(uid: int) -> str:
    try:
        return f"the user `{pwd.getpwuid(uid).pw_name}`"
    except KeyError:
        return f"user {uid}"


def _group_name(gid: int) -> str:
    try:
        return f"`{grp.getgrgid(gid).gr_name}`"
    except KeyError:
        return str(gid)
