job "web" {
  datacenters = ["dc1"]
  meta = {
    "a.b/c" = "x"
    owner   = "ops"
  }

  group "front" {
    count = 3

    constraint {
      attribute = "${attr.kernel.name}"
      value     = "linux"
    }

    task "server" {
      driver = "docker"

      config {
        args = [
          "-c",
          <<EOF
set -e
exec nginx -g 'daemon off;'
EOF
          ,
        ]
        image = "nginx:1.27"
        labels = {
          "com.example/team" = "web"
        }
        ports = ["http"]

        mount {
          readonly = true
          source   = "local"
          target   = "/data"
          type     = "bind"
        }
      }

      env {
        ADDR  = "${NOMAD_ADDR_http}"
        SHELL = "$${HOME:-/}"
      }

      resources {
        cpu    = 200
        memory = 128
      }

      template {
        destination   = "local/nginx.conf"
        data          = <<EOF
listen {{ env "NOMAD_PORT_http" }};
root ${NOMAD_TASK_DIR}; # $${x y}
EOF
        change_mode   = "signal"
        change_signal = "SIGHUP"
      }
    }

    restart {
      interval = "1h"
      attempts = 5
    }

    network {
      mode = "bridge"

      port "admin" {
        static = 9000
      }

      port "http" {
        to = 8080
      }
    }

    service {
      name     = "web"
      port     = "http"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/"
        interval = "10s"
        timeout  = "2s"

        header {
          Accept = ["application/json"]
        }
      }
    }
  }

  update {
    max_parallel = 2
  }
}
