"""What stands where: streets, houses, trees and photo spots in the plane, without any picture."""
