# A volume that a CSI plugin makes. "volume create" has it made; "volume register"
# takes in one that is there already, by its external_id.
id        = "data"
name      = "data"
type      = "csi"
plugin_id = "disks"

# How large it may be.
capacity_min = "1GiB"
capacity_max = "10GiB"

# How jobs may use it. Several of these may be given.
capability {
  access_mode     = "single-node-writer"
  attachment_mode = "file-system"
}

mount_options {
  fs_type     = "ext4"
  mount_flags = ["noatime"]
}

# Where it has to be reachable from, for plugins that know of places.
topology_request {
  required {
    topology {
      segments {
        zone = "a"
      }
    }
  }
}

# For the plugin. Secrets are never shown again.
parameters {
  kind = "fast"
}

secrets {
  key = "change me"
}
