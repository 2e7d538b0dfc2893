# A game server on the host's own network, with directories of the host and of the task.
variable "artifacts" {
  type    = string
  default = "http://127.0.0.1:8000"
}

variable "shared" {
  type    = string
  default = "/tmp/tarpan-second/shared"
}

job "tetris" {
  datacenters = ["dc*"]

  group "game" {
    network {
      mode = "host"

      port "http" {
        static = 5001
      }
    }

    volume "storage" {
      type   = "host"
      source = "storage"
    }

    task "tetris" {
      driver = "docker"

      artifact {
        source      = "${var.artifacts}/tetris.tar"
        destination = "local/"
      }

      config {
        load         = "tetris.tar"
        image        = "tarpan.example/tetris:1.0"
        network_mode = "host"

        volumes = [
          "${var.shared}:/shared",
          "/etc/hostname:/host/hostname:ro",
          "scores:/scores",
        ]
      }

      env {
        PTC_WEB_PORT = "5001"
        REDIS_HOST   = "127.0.0.1"
        REDIS_PORT   = "3307"
      }

      volume_mount {
        volume      = "storage"
        destination = "/storage"
      }

      resources {
        cpu    = 1000
        memory = 1024
      }
    }
  }
}
