# The server of the second demo. Every address is loopback: change bind_addr to reach it from elsewhere.
region               = "global"
datacenter           = "dc1"
name                 = "server-1"
data_dir             = "/tmp/tarpan-second/server"
bind_addr            = "127.0.0.1"
disable_update_check = true

log_rotate_bytes     = 1048576
log_rotate_max_files = 3

ports {
  http = 5646
  rpc  = 5647
  serf = 5648
}

server {
  enabled          = true
  bootstrap_expect = 1

  server_join {
    retry_join = ["127.0.0.1:5648"]
  }
}
