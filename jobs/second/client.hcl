# The client of the second demo, on a port set of its own.
region               = "global"
datacenter           = "dc1"
name                 = "client-1"
data_dir             = "/tmp/tarpan-second/client"
bind_addr            = "127.0.0.1"
disable_update_check = true

ports {
  http = 5656
  rpc  = 5657
  serf = 5658
}

limits {
  # Where older guides write them.
  log_rotate_bytes     = 1048576
  log_rotate_max_files = 3
}

client {
  enabled           = true
  servers           = ["127.0.0.1:5647"]
  network_interface = "lo"

  host_volume "mysql" {
    path      = "/tmp/tarpan-second/mysql"
    read_only = false
  }

  host_volume "storage" {
    path      = "/tmp/tarpan-second/storage"
    read_only = false
  }
}

plugin "docker" {
  config {
    volumes {
      enabled      = true
      selinuxlabel = "z"
    }
  }
}

plugin "raw_exec" {
  config {
    enabled = true
  }
}
