"""An image without any init, of another user, folder and environment than root's. It lacks folders that any machine needs,
and has an account `ubuntu` with the id that the user of the guest's tests has."""

import programs

INPUTS = ("programs.py",)
APPLETS = ("sh", "cat", "echo", "env", "false", "grep", "head", "id", "kill", "ls", "mkdir", "ps", "pwd", "rm", "sleep",
           "stty", "test", "touch", "true", "uname", "wc")


def inputs():
    return [programs.find()]


def build(layout, _scratch):
    tar = programs.root(APPLETS, without=("proc", "sys", "dev", "run", "tmp", "var/tmp", "root"))
    tar.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1234:1234:An Application:/srv/app:/bin/sh\n"
             "ubuntu:x:4321:4321:Ubuntu:/home/ubuntu:/usr/bin/gone\n+::::::\n")
    tar.file("etc/group", "root:x:0:\napp:x:1234:\nextra:x:1235:app,ubuntu\nubuntu:x:4321:\n")
    tar.folder("home/ubuntu", uid=4321, gid=4321).file("home/ubuntu/kept", "kept\n", uid=4321, gid=4321)
    tar.folder("srv/app", uid=1234, gid=1234).file("srv/app/README", "hello\n", uid=1234, gid=1234)
    return layout.image([layout.layer(tar, "plain")], {
        "Cmd": ["/bin/sh"], "User": "app", "WorkingDir": "/srv/app",
        "Env": ["PATH=/usr/bin:/bin:/sbin", "GREETING=hello world"]})
