# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end stories are told with: real servers, real mounts, real clients.

bench     one test's directory, processes and logs, and the search for what it left behind
servers   Debian's Apache ZooKeeper and our zkserver behind one face
mounts    a running zkfs
inotify   inotifywait as a list that can be waited for
rawzk     the client protocol frame by frame, for what no client library would send
tap       a proxy that sees, counts and cuts the requests between a client and its server
waiting   the one way to wait
"""
