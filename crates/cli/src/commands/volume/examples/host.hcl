# A directory of one client, made by a plugin there. Create it with: volume create volume.hcl
name = "example"
type = "host"

# Who makes it. Every client has the plugin mkdir; others lie in the client's host_volume_plugin_dir.
plugin_id = "mkdir"

# Where: on any client of this pool that has the plugin and is as the constraints say, or on the client of an id.
node_pool = "default"
# node_id = "6aa8bc1d-32b1-4a5a-8a6d-2d6b2d0a4f3c"
#
# constraint {
#   attribute = "${attr.kernel.name}"
#   value     = "linux"
# }

# How large; mkdir has no way to hold a directory to a size.
# capacity_min = "10GiB"
# capacity_max = "20GiB"

# The ways in which jobs may use it, one block each.
capability {
  access_mode     = "single-node-writer"
  attachment_mode = "file-system"
}

# For the plugin. Those of mkdir: mode, uid, gid.
parameters {
  mode = "0755"
}
